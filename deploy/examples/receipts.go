package examples

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
)

// Program answers for a function of kind nats: whoever listens on functions.{id} hands it each
// request's input with the number of the attempt, and sends what it says. The same request has
// the same answer.
type Program func(input json.RawMessage, attempt int) (output json.RawMessage, refusal *ProgramError)

// ProgramError is what a program says instead of an output. Code is as HTTP has it: of 4xx the
// function-runner makes a failure for good, of 5xx another attempt.
type ProgramError struct {
	Code    int
	Message string
}

func (e *ProgramError) Error() string { return fmt.Sprintf("%d: %s", e.Code, e.Message) }

// Programs are those of the ready functions of kind nats, by id.
func Programs() map[string]Program {
	return map[string]Program{"receipt_check": checkReceipts}
}

// receipt is what an employee says to have paid.
type receipt struct {
	Number string  `json:"number"`
	Text   string  `json:"text"`
	Amount float64 `json:"amount"`
}

// freeCents is how much may be paid back without a receipt.
const freeCents = 1500

// checkReceipts adds up the receipts of a report. It refuses one that is missing, or whose
// number no receipt can have; for one that lies in the archive it has to be asked again.
func checkReceipts(input json.RawMessage, attempt int) (json.RawMessage, *ProgramError) {
	var report struct {
		Receipts []receipt `json:"receipts"`
	}
	if err := json.Unmarshal(input, &report); err != nil {
		return nil, &ProgramError{http.StatusBadRequest, "the input is no object with receipts"}
	}
	var sum struct {
		Receipts       int     `json:"receipts"`
		WithoutReceipt int     `json:"without_receipt"`
		Amount         float64 `json:"amount"`
	}
	total := 0.0
	for _, r := range report.Receipts {
		cents := math.Round(r.Amount * 100)
		switch {
		case cents <= 0:
			return nil, refused("%s: %.2f is no amount", r.Text, r.Amount)
		case r.Number == "" && cents > freeCents:
			return nil, refused("%s, %.2f: above %.2f there must be a receipt", r.Text, r.Amount, freeCents/100.0)
		case r.Number == "":
			sum.WithoutReceipt++
		case !genuine(r.Number):
			return nil, refused("%s: no receipt has the number %s", r.Text, r.Number)
		case archived(r.Number) && attempt <= 1:
			return nil, &ProgramError{http.StatusServiceUnavailable, "receipt " + r.Number + " is being fetched from the archive"}
		default:
			sum.Receipts++
		}
		total += cents
	}
	sum.Amount = total / 100
	output, err := json.Marshal(sum)
	if err != nil {
		return nil, refused("the amounts are too large")
	}
	return output, nil
}

func refused(format string, args ...any) *ProgramError {
	return &ProgramError{http.StatusUnprocessableEntity, fmt.Sprintf(format, args...)}
}

// genuine checks a number such as R-2041-7: the last digit is the sum of the others.
func genuine(number string) bool {
	parts := strings.Split(number, "-")
	if len(parts) != 3 || parts[0] != "R" && parts[0] != "A" || parts[1] == "" || len(parts[2]) != 1 {
		return false
	}
	sum := 0
	for _, digit := range parts[1] {
		if digit < '0' || digit > '9' {
			return false
		}
		sum += int(digit - '0')
	}
	return parts[2][0] == byte('0'+sum%10)
}

func archived(number string) bool { return strings.HasPrefix(number, "A-") }
