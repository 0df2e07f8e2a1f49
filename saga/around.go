package saga

// Around returns the definition with each Do and Undo wrapped: for tracing, for metrics, or for tests that watch what
// is done. The function is called once for each action, and returns what is called in its place.
func (d *Definition[S]) Around(wrap func(Action[S]) Action[S]) *Definition[S] {
	wrapped := *d
	wrapped.steps = make([]step[S], len(d.steps))
	for i, s := range d.steps {
		wrapped.steps[i] = s
		if s.do == nil {
			continue
		}
		do := *s.do
		do.do = wrap(do.do)
		if do.undo != nil {
			do.undo = wrap(do.undo)
		}
		wrapped.steps[i].do = &do
	}
	return &wrapped
}
