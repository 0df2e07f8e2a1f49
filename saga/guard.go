package saga

import (
	"fmt"
	"reflect"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/guard"
)

// maxPure is how long a function of a definition without a context may take. Such functions set a deadline, take an
// event, or say which saga an event is for. The methods with which the data encodes and decodes itself are bounded by
// it, too.
const maxPure = 5 * time.Second

// guarded calls a function of the definition's user. If it panics, ends its goroutine, or does not return, that is a
// permanent error of this one saga. A function that does not return is left behind, so what it sets must not be read
// then.
func guarded(where, what string, f func() error) error {
	var failed error
	if err := guard.CallWithin(maxPure, func() { failed = f() }); err != nil {
		return Permanent(fmt.Errorf("%s: %s: %w", where, what, err))
	}
	return failed
}

// where names a saga, and a step unless that is "", in errors.
func (d *Definition[S]) where(id, step string) string {
	if step == "" {
		return fmt.Sprintf("saga %s/%s", d.name, id)
	}
	return fmt.Sprintf("saga %s/%s, step %q", d.name, id, step)
}

// whereEvent names an event, of which it is not known yet for which saga it is.
func (d *Definition[S]) whereEvent(recorded eventstore.Recorded) string {
	return fmt.Sprintf("saga %s, event %q at version %d of %s", d.name, recorded.Type(), recorded.Version(), recorded.Stream)
}

// said is the error of a function of the definition, without any code of the user: the methods of an error may fail as
// well.
type said struct {
	text  string
	final bool
}

func (s *said) Error() string { return s.text }

// plainly reads an error of the user. It is called under the guard.
func plainly(err error) error {
	if err == nil {
		return nil
	}
	return &said{text: readable(err.Error()), final: final(err)}
}

// pure calls a function of the definition that can only say yes or no: what it says does not change by itself.
func (d *Definition[S]) pure(id, step, what string, data S, f func() (S, error)) (S, error) {
	var after S
	err := guarded(d.where(id, step), what, func() (err error) {
		after, err = f()
		return plainly(err)
	})
	if err != nil {
		return data, Permanent(err)
	}
	return after, nil
}

// coded calls an encoder or decoder of the data, under the guard if that calls methods of the user.
func (d *Definition[S]) coded(id, what string, f func() error) error {
	if !d.shape.Calls() {
		return f()
	}
	return guarded(d.where(id, ""), what, f)
}

// decode returns the saga's data.
func (d *Definition[S]) decode(in *instance[S]) (S, error) {
	var data S
	encoded := in.data
	err := d.coded(in.id, "decode its data", func() error { return d.shape.Unmarshal(encoded, &data) })
	if err != nil {
		return *new(S), fmt.Errorf("saga: %s: its data does not decode as %s: %w", in.id, reflect.TypeFor[S](), err)
	}
	return data, nil
}

// encode returns data as it is written down: the same bytes for the same data.
func (d *Definition[S]) encode(id string, data S) ([]byte, error) {
	var encoded []byte
	err := d.coded(id, "encode its data", func() (err error) {
		encoded, err = d.shape.Marshal(&data)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidData, err)
	}
	return encoded, nil
}
