package literal

import (
	"slices"
	"strings"
)

// Diff shows two texts as one, line by line. Lines of the first alone follow "-", and lines of the second alone
// follow "+". It returns "" if the texts are the same. Time and memory grow with the product of their lengths,
// so it is for texts that people read.
func Diff(first, second string) string {
	if first == second {
		return ""
	}
	a, b := strings.Split(first, "\n"), strings.Split(second, "\n")
	common := commonLines(a, b)
	var lines []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			lines = append(lines, "  "+a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			lines = append(lines, "- "+a[i])
			i++
		default:
			lines = append(lines, "+ "+b[j])
			j++
		}
	}
	return strings.Join(lines, "\n")
}

// commonLines returns for each i and j the length of the longest common subsequence of a[i:] and b[j:] (Wagner and
// Fischer, 1974).
func commonLines(a, b []string) [][]int {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i, line := range slices.Backward(a) {
		for j, other := range slices.Backward(b) {
			if line == other {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	return common
}
