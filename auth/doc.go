// Package auth answers two questions about a request: who is asking, and may they.
//
//	            Authenticator                   Policy
//	request ─────────────────────► Identity ──────────────► nil, or an error with a Status
//	         JWT: cache of what              Known Role Owner
//	         Keys verified, less             All(…) Either(…)
//	         what is on Revocations
//
// An [Authenticator] turns a request into an [Identity]. Nobody is an answer: a request without a credential yields the
// zero Identity and no error. A credential that is there and bad is an error. A [Policy] then decides whether that
// Identity may do what the request asks. A [Gate] makes middleware of both:
//
//	gate := &auth.Gate{Authenticator: &auth.JWT{Keys: auth.HMAC(secret)}}
//	mux.Handle("/players/{player_id}/", gate.Require(auth.Owner("player_id"))(players))
//	http.ListenAndServe(addr, gate.Identify(mux))
//
// [JWT] is the authenticator for JSON Web Tokens, strict where the standards leave a choice (RFC 8725): a list of
// algorithms bound to the kind of the key, no "crit" extensions, no keys out of the token's own header, expiry
// required, a bound on length before anything is parsed. It understands both token shapes of the TTA services.
// [Keys] come from shared secrets ([HMAC]), from public keys ([Static], [PEM]), or from an identity provider that
// rotates them ([JWKS]); [Rotating] exchanges one for another while requests are served.
//
// Policies have a written form, which [ParsePolicy] reads and Policy.String writes:
//
//	role(admin) & mfa
//	owner(player_id) | permission(view_patient_progress)
//
// Every error of this package belongs to a class that [Status] and [Challenge] translate into an answer (RFC 6750).
// Nothing here demands a second factor unless a policy says so, and nothing here logs.
package auth
