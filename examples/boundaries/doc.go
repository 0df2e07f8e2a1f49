// Package boundaries shows, as examples that run, how to keep rules that reach beyond one stream.
// docs/guides/boundaries.md says how to choose among them, and what each costs.
package boundaries
