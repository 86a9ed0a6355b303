package safety

// credentials are the names of members and form fields whose values are never
// shown to an Inspector, unless a path names them. Compared in lower case,
// without separators. "secret" alone is not among them: it is what people tell.
var credentials = map[string]bool{
	"password": true, "passwd": true, "passphrase": true, "pwd": true,
	"currentpassword": true, "newpassword": true, "oldpassword": true,
	"confirmpassword": true, "passwordconfirmation": true, "passwordconfirm": true,
	"clientsecret": true, "secretkey": true, "privatekey": true,
	"apikey": true, "xapikey": true, "accesskey": true, "token": true,
	"accesstoken": true, "refreshtoken": true, "idtoken": true, "csrftoken": true,
	"resettoken": true, "sessiontoken": true, "authorization": true,
	"otp": true, "mfacode": true, "totpcode": true, "codeverifier": true,
}

const longestCredential = len("passwordconfirmation")

// isCredential reports whether a member's name is a credential's, however it is
// spelt: refresh_token, refreshToken, Refresh-Token.
func isCredential(name []byte) bool {
	if len(name) < len("otp") || len(name) > longestCredential+4 {
		return false
	}
	var plain [longestCredential]byte
	n := 0
	for _, c := range name {
		switch {
		case c == '_' || c == '-' || c == '.' || c == ' ':
			continue
		case n == len(plain):
			return false
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		plain[n] = c
		n++
	}
	return credentials[string(plain[:n])]
}
