//go:build !linux

package execkind

import (
	"context"
	"errors"
)

type system struct{}

const threadsPerProcess = 16

// execute refuses: without the limits no program runs.
func (k *Kind) execute(context.Context, *program) (ending, error) {
	return ending{}, errors.New("programs run on Linux only")
}
