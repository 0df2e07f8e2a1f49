// Package protocol decides what the runners and the builders of a view may do. Its functions are pure: they read and
// write nothing. The code that runs a view calls them, and so does the program in the folder model, which tries
// every order in which several processes can take their steps. So the model checks the rules that really run.
//
// Two documents are shared. Both change by compare-and-set only:
//
//	the record        one for each view; it holds a Slot for each fold version
//	a checkpoint      one for each generation; it holds the position, and a Fence
//
// A generation is one bucket of documents that one build has filled. G is the type of its name; the zero G means
// none. A build has the same name as the generation that it fills.
//
// A build replaces a generation in these steps:
//
//  1. It writes the record with [Slot.Take].
//  2. It folds the log into a bucket of its own.
//  3. It writes the checkpoint of the serving generation with [Fence.Retire]. The next write of its runner fails,
//     because the runner expects the checkpoint as it was. So the position in that checkpoint is final.
//  4. It folds up to that position, or further.
//  5. It writes the record with [Slot.Flip].
//
// A runner works on a generation in these steps:
//
//  1. It reads the record, which names the serving generation.
//  2. It reads the checkpoint of that generation.
//  3. It reads the record again, and asks [Open] what to do.
//  4. If it has written the checkpoint, it reads the record once more, and asks [Claimed].
//  5. It folds. Each batch expects the checkpoint as the batch before has left it.
//
// If a write fails, or if its answer is lost, a runner begins again at the first step. A builder whose flip is not
// answered reads the record until the record says what has become of the flip, and deletes nothing before.
package protocol

// Slot is the part of a view's record that belongs to one fold version.
type Slot[G comparable] struct {
	Serving  G    // the generation that readers read
	Building G    // the build that may replace it
	Paused   bool // runners do not fold
}

// Take assigns the place of the build to a build. The build that had the place before cannot flip any more. A
// build takes the place once in its life: a build that has lost it must not take it again.
func (s Slot[G]) Take(build G) Slot[G] {
	s.Building = build
	return s
}

// Flip leads readers to a build. It returns false if another build has the place, or none. Then the build can never
// flip.
func (s Slot[G]) Flip(build G) (Slot[G], bool) {
	var none G
	if build == none || s.Building != build {
		return s, false
	}
	s.Serving, s.Building = build, none
	return s, true
}

// Abort takes the place from the build that has it, whichever it is.
func (s Slot[G]) Abort() Slot[G] {
	var none G
	s.Building = none
	return s
}

// Pause forbids runners to fold, or allows it again. The process that pauses a view then writes the checkpoint of the
// serving generation, so that the next write of its runner fails. A build may flip while the view is paused.
func (s Slot[G]) Pause(paused bool) Slot[G] {
	s.Paused = paused
	return s
}

// Fence is the part of a checkpoint that says whether its generation may be written.
type Fence[G comparable] struct {
	Retired G // the build that is about to replace the generation, or none
}

// Retire forbids to write the generation, because a build is about to replace it.
func (f Fence[G]) Retire(build G) Fence[G] { return Fence[G]{Retired: build} }

// Lift allows to write the generation again. Nobody lifts a fence while a build has the place.
func (f Fence[G]) Lift() Fence[G] { return Fence[G]{} }

// Action is what a runner does next.
type Action int

// The actions of a runner.
const (
	Claim  Action = iota // write the checkpoint as it was read, under its revision; then ask Claimed
	Move                 // begin again with the generation that the record names
	Wait                 // wait until the record changes or a build has had its time; then begin again
	Abort                // write the record with Slot.Abort, under its revision; if that passes, do what Resume says
	Resume               // write the checkpoint with Fence.Lift, under its revision; then ask Claimed
	Fold                 // fold the log into the generation
)

// Open decides the next action of a runner that works on a generation. The runner has read the checkpoint of
// the generation, and after that the record, because a record that was read before may be older than the fence
// in the checkpoint. Patient means that the runner leaves the build some more time.
func Open[G comparable](generation G, fence Fence[G], record Slot[G], patient bool) Action {
	var none G
	switch {
	case record.Serving != generation:
		return Move
	case record.Paused:
		return Wait
	case fence.Retired == none:
		return Claim
	case record.Building == none:
		return Resume // the build that retired the generation has lost its place
	case patient:
		return Wait // the build may flip soon
	}
	return Abort // also if the fence names another build, because the build in the record may rely on the fence as well
}

// Claimed decides the next action of a runner that has written the checkpoint, and has then read the record
// once more. It is a precaution: in the model nothing goes wrong if a runner folds at once.
func Claimed[G comparable](generation G, record Slot[G]) Action {
	switch {
	case record.Serving != generation:
		return Move
	case record.Paused:
		return Wait
	}
	return Fold
}
