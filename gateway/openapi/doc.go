// Package openapi describes a route table as an OpenAPI 3.1 document, and
// shows it as a page.
//
// It knows nothing of the gateway: it is handed plain [Operation] values. The
// document is made of the table alone, so it says what the gateway lets
// through (paths, methods, who may, how much), and not what the services
// behind it understand.
//
//	doc, err := openapi.Document(openapi.Info{Title: "TTA API Gateway", Version: "1.0.0"}, operations)
//	mux.Handle("GET /docs", openapi.Page("/openapi.json"))
package openapi
