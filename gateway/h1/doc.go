// Package h1 is an HTTP/1.1 client for services behind a proxy: an
// http.RoundTripper that costs little and promises what a proxy needs.
package h1
