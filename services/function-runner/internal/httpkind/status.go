package httpkind

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// statuses are patterns such as 200 and 2xx.
type statuses []string

var statusPattern = regexp.MustCompile(`^[2-5](\d\d|xx)$`)

func newStatuses(field string, patterns []string, absent ...string) (statuses, error) {
	if len(patterns) == 0 {
		return absent, nil
	}
	if len(patterns) > maxStatuses {
		return nil, invalid(field, "are %d; at most %d are possible", len(patterns), maxStatuses)
	}
	for i, pattern := range patterns {
		if !statusPattern.MatchString(pattern) {
			return nil, invalid(fmt.Sprintf("%s[%d]", field, i), "is a status such as 200 or 2xx, from 200 to 599")
		}
	}
	return patterns, nil
}

func (s statuses) match(status int) bool {
	text := strconv.Itoa(status)
	for _, pattern := range s {
		if class, ok := strings.CutSuffix(pattern, "xx"); pattern == text || ok && len(text) == 3 && strings.HasPrefix(text, class) {
			return true
		}
	}
	return false
}

// longestRetryAfter bounds what a server may ask for.
const longestRetryAfter = time.Hour

// retryAfter is how long a server asks to be left alone, in seconds or until a date; 0 where it
// does not say.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return longestRetryAfter
		}
		return min(time.Duration(seconds)*time.Second, longestRetryAfter)
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(0, min(date.Sub(now), longestRetryAfter))
}
