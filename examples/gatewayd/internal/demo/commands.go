package demo

import (
	"fmt"
	"strings"
)

// Commands returns the lines to print: what to type to try the service behind base (the gateway's
// address, such as http://127.0.0.1:8000), in order; control is the address where [Control] answers, empty
// when it does not. Blank lines part the steps, and lines that begin with # say what they show. The first
// account is the one that plays; the lines want a POSIX shell and curl.
func Commands(base, control string, accounts []Account, servers ...*Server) []string {
	lines := []string{"# In a browser: " + base + "/demo/", ""}
	if len(accounts) > 0 {
		lines = append(lines, play(base, accounts)...)
	}
	if control != "" && len(servers) > 0 {
		lines = append(lines, failover(control, servers[0].Instance.Name())...)
	}
	return lines
}

func play(base string, accounts []Account) []string {
	lines := []string{"# Accounts:"}
	for _, a := range accounts {
		lines = append(lines, fmt.Sprintf("#   %-12s %-12s %s", a.Role, a.Username, a.Password))
	}
	player := accounts[0]
	return append(lines, "",
		"# Log in",
		fmt.Sprintf(`export TOKEN=$(curl -s %s/api/v1/auth/login -H 'Content-Type: application/json' -d '{"username":"%s","password":"%s"}' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')`,
			base, player.Username, player.Password), "",
		"# Play a turn over HTTP, and read it again",
		fmt.Sprintf(`curl -s %s/api/v1/conversation/send -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"session_id":"first-evening","message":"walk to the lighthouse"}'`, base),
		fmt.Sprintf(`curl -s %s/api/v1/conversation/first-evening/history -H "Authorization: Bearer $TOKEN"`, base), "",
		"# The same scene as a stream",
		fmt.Sprintf(`curl -sN %s/api/v1/conversation/first-evening/stream -H "Authorization: Bearer $TOKEN"`, base), "",
		"# Chat over a WebSocket: with websocat, or with Node 22 or newer",
		fmt.Sprintf(`echo '{"type":"user_message","content":{"text":"hello"}}' | websocat -n "%s/ws/chat?token=$TOKEN"`, socketBase(base)),
		fmt.Sprintf(`node -e 'const s=new WebSocket(process.argv[1]);s.onopen=()=>s.send(JSON.stringify({type:"user_message",content:{text:"hello"}}));s.onmessage=m=>{console.log(m.data);if(JSON.parse(m.data).role=="assistant")s.close()}' "%s/ws/chat?token=$TOKEN"`, socketBase(base)), "",
		"# Refusals: nobody (401), somebody else's (403), not your role (403)",
		fmt.Sprintf(`curl -si %s/api/v1/players/%s`, base, player.ID),
		fmt.Sprintf(`curl -si %s/api/v1/players/somebody-else -H "Authorization: Bearer $TOKEN"`, base),
		fmt.Sprintf(`curl -si %s/api/v1/auth/roles -H "Authorization: Bearer $TOKEN"`, base), "",
	)
}

func failover(control, name string) []string {
	return []string{
		"# Which instances there are; stop one and start it again",
		fmt.Sprintf("curl -s %s/demo", control),
		fmt.Sprintf("curl -s -X POST %s/demo/%s/stop", control, name),
		fmt.Sprintf("curl -s -X POST %s/demo/%s/start", control, name),
		"",
	}
}

// socketBase is base with the scheme of WebSockets.
func socketBase(base string) string { return "ws" + strings.TrimPrefix(base, "http") }
