package projector

import "time"

// window counts, event by event, what of the view is still to be written, and so knows up
// to where it is complete.
type window struct {
	events []windowEvent
	// head is the first element in use; base is the ticket of that element.
	head int
	base uint64
	low  uint64
	// completed counts the events that low has passed.
	completed uint64
}

type windowEvent struct {
	sequence uint64
	open     int
	at       time.Time
}

// add takes in the next event with how many changes it makes, and gives it a ticket.
func (w *window) add(sequence uint64, changes int, at time.Time) (ticket uint64) {
	ticket = w.base + uint64(w.len())
	w.events = append(w.events, windowEvent{sequence: sequence, open: changes, at: at})
	w.settle()
	return ticket
}

// done says that one change of the event is in the view for good.
func (w *window) done(ticket uint64) {
	w.events[w.head+int(ticket-w.base)].open--
	w.settle()
}

func (w *window) settle() {
	for w.head < len(w.events) && w.events[w.head].open == 0 {
		w.low = w.events[w.head].sequence
		w.head++
		w.base++
		w.completed++
	}
	switch {
	case w.head == len(w.events):
		w.events, w.head = w.events[:0], 0
	case w.head > len(w.events)/2:
		w.events = w.events[:copy(w.events, w.events[w.head:])]
		w.head = 0
	}
}

// len is the number of events from the first incomplete one on.
func (w *window) len() int { return len(w.events) - w.head }

// oldest is the time of the first incomplete event; zero when there is none.
func (w *window) oldest() time.Time {
	if w.len() == 0 {
		return time.Time{}
	}
	return w.events[w.head].at
}
