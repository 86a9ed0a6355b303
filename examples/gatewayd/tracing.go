package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/theinterneti/tta-gateway/gateway"
)

// tracing sends spans where OTEL_EXPORTER_OTLP_ENDPOINT says; without it there
// are none.
type tracing struct {
	options []gateway.Option
	stop    func()
}

// spanTimeout is how long the last spans may take to be sent at the end.
const spanTimeout = 3 * time.Second

func startTracing(ctx context.Context, environ []string, version string) (tracing, error) {
	wanted := func(line string) bool {
		return strings.HasPrefix(line, "OTEL_EXPORTER_OTLP_ENDPOINT=h") || strings.HasPrefix(line, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=h")
	}
	if !slices.ContainsFunc(environ, wanted) {
		return tracing{stop: func() {}}, nil
	}
	exporter, err := otlptracehttp.New(ctx) // reads the other OTEL_ variables itself
	if err != nil {
		return tracing{}, err
	}
	what, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "tta-gateway"), attribute.String("service.version", version),
	), resource.WithFromEnv())
	if err != nil {
		return tracing{}, err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(what))
	return tracing{
		options: []gateway.Option{gateway.WithTracerProvider(provider)},
		stop: func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spanTimeout)
			defer cancel()
			_ = provider.Shutdown(ctx) // spans that cannot be sent are lost; nothing depends on them
		},
	}, nil
}
