module github.com/theinterneti/tta-gateway/examples/onepackage/safety

go 1.26.0

toolchain go1.26.8

require (
	github.com/go-chi/chi/v5 v5.5.0
	github.com/stretchr/testify v1.12.1
	github.com/theinterneti/tta-gateway v0.0.0
	go.uber.org/goleak v1.3.0
)

require (
	github.com/klauspost/compress v1.20.3 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/text v0.43.0 // indirect
)

// The example always goes with the code beside it.
replace github.com/theinterneti/tta-gateway => ../../..
