package execkind

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestANameWithBracketsIsRead(t *testing.T) {
	t.Parallel()
	got, ok := parseProcess("12 (a) R 1 (b) c) S 3 4 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 777 1000 2 18446744073709551615\n")
	want := process{parent: 3, group: 4, session: 5, threads: 9, start: 777, resident: 2 * pageSize}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(process{})); !ok || diff != "" {
		t.Error(diff)
	}
	for _, broken := range []string{"", "12 (a", "12 (a) S 1 2"} {
		if _, ok := parseProcess(broken); ok {
			t.Errorf("%q is a process", broken)
		}
	}
}

func TestTheTableIsShared(t *testing.T) {
	t.Parallel()
	var table table
	rows, err := table.since(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	me, ok := rows[os.Getpid()]
	if !ok || me.parent != os.Getppid() || me.dead || me.resident == 0 || !me.marked && me.group != 0 {
		t.Errorf("this process is %+v", me)
	}
	at := table.at
	if _, err := table.since(at); err != nil || !table.at.Equal(at) {
		t.Errorf("it was read again: %v", err)
	}
	if _, err := table.since(time.Now()); err != nil || table.at.Equal(at) {
		t.Errorf("it was not read again: %v", err)
	}
}

func TestAPackIsFoundByEachOfItsTraits(t *testing.T) {
	t.Parallel()
	p := newPack(nil, 10, &program{mark: "m", seal: 7})
	p.known[50] = 5
	p.known[51] = 5
	rows := map[int]process{
		1:  {},
		10: {parent: 1, group: 10, session: 10, start: 1},
		20: {parent: 1, group: 10, session: 10},
		21: {parent: 1, group: 21, session: 10},
		22: {parent: 1, group: 22, session: 22, mark: "m"},
		23: {parent: 22, group: 23, session: 23},
		24: {parent: 23, group: 24, session: 24, mark: "other"},
		50: {parent: 1, group: 50, session: 50, start: 5},
		51: {parent: 1, group: 51, session: 51, start: 6},
		52: {parent: 1, group: 52, session: 52, seal: 7, dead: true},
		60: {parent: 1, group: 60, session: 60, mark: "other", seal: 8},
		61: {parent: 60, group: 60, session: 60},
	}
	found := p.members(rows)
	for pid, want := range map[int]bool{1: false, 10: true, 20: true, 21: true, 22: true, 23: true, 24: true, 50: true, 51: false, 52: true, 60: false, 61: false} {
		if _, got := found[pid]; got != want {
			t.Errorf("%d belongs to it: %t", pid, got)
		}
		if _, known := p.known[pid]; known != want {
			t.Errorf("%d is known: %t", pid, known)
		}
	}
}
