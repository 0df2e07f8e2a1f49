package eventstore

import "context"

// Metadata says in what connection a commit was written. All of it is optional, and it comes from the context of the
// append: see [WithMetadata].
type Metadata struct {
	Correlation string // what the whole of a business process shares
	Causation   string // what led to this commit: the id of a command, a request or an event
	Actor       string // who asked for it; an identifier, not a name: the log does not forget
	TraceParent string // W3C trace context
	TraceState  string
	User        map[string]string // anything else; must not be changed once in a context
}

type metadataKey struct{}

// WithMetadata gives a context whose appends carry m instead of what ctx had.
func WithMetadata(ctx context.Context, m Metadata) context.Context {
	return context.WithValue(ctx, metadataKey{}, m)
}

// MetadataFrom gives the metadata that appends with ctx carry.
func MetadataFrom(ctx context.Context) Metadata {
	m, _ := ctx.Value(metadataKey{}).(Metadata)
	return m
}
