package boundaries_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

type (
	CourseOffered struct{ Seats int }
	SeatTaken     struct{ Student string } // in the course's stream
	CourseJoined  struct{ Course string }  // in the student's stream
)

func (CourseOffered) EventType() string { return "course.offered" }
func (SeatTaken) EventType() string     { return "course.seat-taken" }
func (CourseJoined) EventType() string  { return "student.course-joined" }

type Course struct{ Seats, Taken int }

func (c Course) Evolve(event eventstore.Event) Course {
	switch e := event.(type) {
	case CourseOffered:
		c.Seats = e.Seats
	case SeatTaken:
		c.Taken++
	}
	return c
}

type Student struct{ Courses int }

func (s Student) Evolve(eventstore.Event) Student { return Student{s.Courses + 1} }

type Offer struct{ Seats int }

func (c Offer) Decide(Course) ([]eventstore.Event, error) { return one(CourseOffered(c)) }

type TakeSeat struct{ Student string }

func (c TakeSeat) Decide(course Course) ([]eventstore.Event, error) {
	if course.Taken >= course.Seats {
		return nil, errors.New("the course is full")
	}
	return one(SeatTaken(c))
}

type Join struct{ Course string }

func (c Join) Decide(s Student) ([]eventstore.Event, error) {
	if s.Courses == 2 {
		return nil, errors.New("a student joins two courses at most")
	}
	return one(CourseJoined(c))
}

// Both sides have a limit, and both change: one transaction writes both streams, and each side decides on its own.
func Example_courseSubscription() {
	ctx := context.Background()
	store, stop := openStore(ctx, CourseOffered{}, SeatTaken{}, CourseJoined{})
	defer stop()
	courses, students := repository[Course](store, "course"), repository[Student](store, "student")
	for _, course := range []string{"go", "nats", "math"} {
		_, err := courses.Do(ctx, course, Offer{Seats: 2})
		must(err)
	}
	subscribe := func(student, course string) {
		err := aggregate.Transact(ctx, store, nil, courses.On(course, TakeSeat{student}), students.On(student, Join{course}))
		if rejected, ok := errors.AsType[*aggregate.RejectedError](err); ok {
			fmt.Println(student, course, "no:", rejected.Err)
			return
		}
		must(err)
		fmt.Println(student, course, "yes")
	}
	subscribe("anna", "go")
	subscribe("ben", "go")
	subscribe("cora", "go")
	subscribe("anna", "nats")
	subscribe("anna", "math")
	// Output:
	// anna go yes
	// ben go yes
	// cora go no: the course is full
	// anna nats yes
	// anna math no: a student joins two courses at most
}
