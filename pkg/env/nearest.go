package env

// Nearest is the candidate that name was probably meant to be: the one with the fewest
// edits, if these are few enough for the length of the name.
func Nearest(name string, candidates []string) (string, bool) {
	best, bound := "", max(1, len(name)/4)+1
	for _, candidate := range candidates {
		if d := distance(name, candidate, bound); d < bound {
			best, bound = candidate, d
		}
	}
	return best, best != ""
}

// distance counts insertions, deletions, substitutions and swaps of neighbours; it gives
// up at the bound.
func distance(a, b string, bound int) int {
	if len(a)-len(b) >= bound || len(b)-len(a) >= bound {
		return bound
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
