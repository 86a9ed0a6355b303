package auth

import (
	"errors"
	"fmt"
	"strings"
)

// ErrWeakSecret is what [WeakSecret] says of a secret that must not guard anything.
var ErrWeakSecret = errors.New("auth: weak secret")

// placeholders are the secrets that stand in example files of the TTA services, and are therefore known to everybody.
var placeholders = []string{
	"your-secret-key-change-in-production",
	"your-secret-key",
	"dev-secret-key-not-for-production",
	"homelab_jwt_secret_key_minimum_32_chars",
	"staging_jwt_secret_key_minimum_32_chars_secure",
	"staging_jwt_secret_key_minimum_32_chars_secure_change_me",
	"your_jwt_secret_key_here_minimum_32_characters",
	"CHANGE_ME_SECURE_JWT_SECRET_MINIMUM_64_CHARACTERS_LONG",
	"your_very_long_and_secure_jwt_secret_key_here_at_least_32_characters",
}

// hints are words that only a secret contains which somebody meant to replace.
var hints = []string{"changeme", "change_me", "change-me", "change_in_production", "change-in-production",
	"placeholder", "your-secret", "your_secret", "your-jwt", "your_jwt"}

// minDistinct is how many different bytes a random secret of 32 bytes shows at the least. Hexadecimal is the smallest
// alphabet in use; that 64 random digits of it show fewer than 8 has a probability below 10^-18.
const minDistinct = 8

// WeakSecret tells why a shared secret must not be used outside of a developer's machine, or returns nil: it is a
// published placeholder, contains the words of one, is shorter than [MinSecret] bytes, or hardly varies. The error
// wraps [ErrWeakSecret] and never contains the secret.
func WeakSecret(secret []byte) error {
	lower := strings.ToLower(strings.TrimSpace(string(secret)))
	for _, known := range placeholders {
		if lower == strings.ToLower(known) {
			return weak("it is a placeholder out of published example files")
		}
	}
	for _, hint := range hints {
		if strings.Contains(lower, hint) {
			return weak("it contains %q, as placeholders do", hint)
		}
	}
	if len(secret) < MinSecret {
		return weak("it has %d bytes, and HS256 needs %d", len(secret), MinSecret)
	}
	if n := distinct(secret); n < minDistinct {
		return weak("it consists of %d different bytes only", n)
	}
	return nil
}

func weak(format string, args ...any) error {
	return fmt.Errorf("%w: %s; make one with: openssl rand -base64 48", ErrWeakSecret, fmt.Sprintf(format, args...))
}

func distinct(secret []byte) int {
	var seen [256]bool
	n := 0
	for _, b := range secret {
		if !seen[b] {
			seen[b] = true
			n++
		}
	}
	return n
}
