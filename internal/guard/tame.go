package guard

import (
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"
)

// tamed is an error whose methods may be the user's. The toolkit asks errors everywhere what they match. So the text is
// read once, and the other methods are called under a guard of their own.
type tamed struct {
	text string
	err  error
	mute atomic.Bool // a method has not returned, so none is called again
}

// tame returns an error that matches what err matches. It calls err.Error.
func tame(err error) error {
	if err == nil {
		return nil
	}
	return &tamed{text: textOf(err), err: err}
}

func (t *tamed) Error() string { return t.text }

// Is reports whether the error matches target.
func (t *tamed) Is(target error) bool {
	return t.ask(func() bool { return errors.Is(t.err, target) })
}

// As finds target in the error. A method that is left behind does not see the target of the caller.
func (t *tamed) As(target any) bool {
	found := reflect.New(reflect.TypeOf(target).Elem())
	if !t.ask(func() bool { return errors.As(t.err, found.Interface()) }) {
		return false
	}
	reflect.ValueOf(target).Elem().Set(found.Elem())
	return true
}

// maxAnswer is how long a method of an error may last.
const maxAnswer = time.Second

func (t *tamed) ask(question func() bool) bool {
	if t.mute.Load() {
		return false
	}
	yes := false
	if CallWithin(maxAnswer, func() { yes = question() }) != nil {
		t.mute.Store(true)
		return false
	}
	return yes
}

// textOf returns the text of a value that may have methods of the user. Package fmt recovers from a panic in such a
// method, but not from a second one in the value of the first.
func textOf(value any) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprintf("a %T, whose text panics as well", value)
		}
	}()
	return fmt.Sprint(value)
}
