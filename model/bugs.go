package main

// A bug is seeded: a rule of the protocol that a process breaks.
type bug int

const (
	none bug = iota
	blindFlip
	blindAbort
	blindLift
	blindFold
	blindFence
	noFence
	noCatchUp
	noAbort
	abortNamed
	alwaysPatient
	fenceUnread
	recordOnce
	unconfirmed // breaks nothing: a runner does not ask Claimed
	takesAgain
	sameName
	unansweredFailed
	pruneList
	deleteFirst
	pauseHalf
	pauseUnread
	notCompared
	readerStays

	// Bugs of a hand-over between releases.
	unannounced
	sinceForgotten
	fromPosition
	blindTurn
	replacedUnseen
)

// seed is a bug with the property that it breaks, and with a scope that is just large enough to show it.
type seed struct {
	bug    bug
	name   string
	wrong  string // what a process does
	breaks property
	scope  scope // the world is a hand-over if it has no name
}

// explore explores the scope, with a seeded bug or without. It asks what a live runner reaches only if the seed
// breaks that property, because the question takes longer.
func (s *seed) explore(seeded bug) result {
	if s.scope.name == "" {
		return explore(smallHandover(seeded), s.breaks == unfinished)
	}
	return explore(view(s.scope, seeded), s.breaks == unfinished)
}

func smallHandover(seeded bug) *handover {
	return &handover{name: "hand-over", commits: 2, newer: []bool{false, true}, bug: seeded}
}

// seeds returns all seeded bugs.
func seeds() []seed {
	one, both0 := run("1", 0), [][]int{{0}}
	small := func(name string, parts ...part) scope {
		return scope{name: name, commits: 1, parts: parts, alone: both0}
	}
	lossy := func(sc scope) scope {
		sc.lost = true
		return sc
	}
	folds := scope{name: "two fold versions", commits: 2, newest: 1, parts: []part{one, build(2, 1)}, alone: both0}
	pruned := folds
	pruned.parts = []part{one, build(2, 1), prunes}
	rebuild := small("a rebuild", one, build(2, 0))
	rebuilds := small("two rebuilds", one, build(2, 0), build(3, 0))
	runners := small("a rebuild, two runners", one, run("2", 0), build(2, 0))
	names := small("two builds, lost answers", build(2, 0), build(3, 0))
	names.lost = true
	return []seed{
		{blindFlip, "blind-flip", "a builder flips without a look at the record", both, rebuild},
		{blindAbort, "blind-abort", "a runner aborts a build by writing the record as it has read it, whatever it is now", stepsBack, rebuild},
		{blindLift, "blind-lift", "a runner lifts the fence though the checkpoint is not as it has read it", replaced, rebuilds},
		{blindFold, "blind-fold", "a batch does not expect the checkpoint as the batch before has left it", replaced, rebuild},
		{blindFence, "blind-fence", "a builder takes the position from the checkpoint that it has read, not from its own write", stepsBack, rebuild},
		{noFence, "no-fence", "a builder flips without a fence", replaced, rebuild},
		{noCatchUp, "no-catch-up", "a builder flips as soon as it has written the fence", stepsBack, rebuild},
		{noAbort, "no-abort", "a runner lifts the fence though a build has the place", replaced, rebuild},
		{abortNamed, "abort-named", "a runner aborts only the build that the fence names, and lifts the fence", replaced, rebuilds},
		{alwaysPatient, "always-patient", "a runner waits for a build however long it takes", unfinished, rebuild},
		{fenceUnread, "fence-unread", "a runner claims its generation whether there is a fence or not", replaced, rebuild},
		{recordOnce, "record-once", "a runner that finds a fence does not read the record again", replaced, rebuilds},
		{takesAgain, "takes-again", "a builder that has lost the place takes it again, and flips", replaced, rebuild},
		{sameName, "same-name", "a builder whose take was not answered, and that has lost the place, takes it again under its name", deleted, names},
		{unansweredFailed, "unanswered-is-failed", "a builder whose flip is not answered deletes its bucket", deleted, lossy(rebuild)},
		{pruneList, "prune-by-list", "a pruner reads the record before it lists the buckets", deleted, small("prune", build(2, 0), prunes)},
		{deleteFirst, "delete-first", "a pruner deletes the bucket before it takes it out of the record", deleted, pruned},
		{pauseHalf, "pause-half", "Pause returns without a write of the checkpoint", paused, small("pause", one, operates)},
		{pauseUnread, "pause-unread", "a runner does not look whether the view is paused", paused, small("pause", one, operates)},
		{notCompared, "not-compared", "a reader changes to a newer fold version without a look at its position", stepsBack, folds},
		{readerStays, "reader-stays", "a reader stays with the generation that it has begun with", unfinished, runners},
		{unannounced, "unannounced", "a newer release does not announce itself before it runs", passedOver, scope{}},
		{sinceForgotten, "since-forgotten", "an older release takes over without a note of what it does not handle", passedOver, scope{}},
		{fromPosition, "from-position", "a newer release begins where the older one has come to", passedOver, scope{}},
		{blindTurn, "blind-turn", "a runner writes the checkpoint though it is not as it has read it", passedOver, scope{}},
		{replacedUnseen, "replaced-unseen", "a runner goes on though the checkpoint says that another one runs", passedOver, scope{}},
	}
}
