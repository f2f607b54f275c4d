package petri

// maxSlips is how many letters may be wrong in a word that is still recognised.
const maxSlips = 2

// nearest finds the known word that a misspelled one was most likely meant to be, or "".
// A short word must be closer than a long one: any two words of two letters are alike.
func nearest(word string, known []string) string {
	if len(word) > 128 {
		return ""
	}
	best, fewest := "", maxSlips+1
	for _, candidate := range known {
		slips := distance(word, candidate)
		if slips < fewest && slips < max(len(word), len(candidate)) && 2*slips <= max(len(word), len(candidate)) {
			best, fewest = candidate, slips
		}
	}
	return best
}

// distance counts the letters to insert, drop, change or swap with their neighbour to make
// b of a; what is beyond maxSlips by length alone is not counted out.
func distance(a, b string) int {
	if d := len(a) - len(b); d > maxSlips || -d > maxSlips {
		return maxSlips + 1
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
