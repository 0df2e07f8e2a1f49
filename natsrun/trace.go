package natsrun

// Trace has functions that are called as an embedded server works for nobody in particular, so that metrics and traces
// can be made of it.
type Trace struct {
	// Sync is called when a sync of the data directory's file system begins, and may return nil. Otherwise the function
	// that it returns is called when the sync has ended. One sync serves all callers that wait, and one begins when the
	// one before has ended. Acknowledgements wait for it, so both functions must return soon, and they must not panic.
	// An error is final: see [ErrSync]. Only [SyncGroup] calls it, because otherwise the server syncs by itself.
	Sync func() (end func(err error))
}

// sync syncs, and tells that it does.
func (t *Trace) sync(held fileSystem) error {
	if t == nil || t.Sync == nil {
		return held.sync()
	}
	end := t.Sync()
	err := held.sync()
	if end != nil {
		end(err)
	}
	return err
}
