package eventstore

import "context"

// Metadata says why a commit was written, and for whom. All of it is optional. It comes from the context of the append:
// see [WithMetadata].
type Metadata struct {
	Correlation string // shared by all commits of one business process
	Causation   string // what led to this commit: the id of a command, a request or an event
	Actor       string // asked for it; an identifier and not a name, because the log does not forget
	TraceParent string // W3C trace context
	TraceState  string
	User        map[string]string // anything else; do not change it once it is in a context
}

type metadataKey struct{}

// WithMetadata returns a context whose appends carry m instead of the metadata of ctx.
func WithMetadata(ctx context.Context, m Metadata) context.Context {
	return context.WithValue(ctx, metadataKey{}, m)
}

// MetadataFrom returns the metadata that appends with ctx carry.
func MetadataFrom(ctx context.Context) Metadata {
	m, _ := ctx.Value(metadataKey{}).(Metadata)
	return m
}
