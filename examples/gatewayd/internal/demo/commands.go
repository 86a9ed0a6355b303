package demo

// Commands returns the lines to print: what to type to try the service at base (the gateway's address,
// such as http://127.0.0.1:8000), in order; control is where [Control] answers.
func Commands(base, control string, accounts []Account, servers ...*Server) []string { return nil }
