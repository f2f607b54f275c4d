// Command bomb takes all the memory that it can get.
package main

import "fmt"

func main() {
	var held [][]byte
	for {
		piece := make([]byte, 1<<20)
		for i := range piece {
			piece[i] = 1
		}
		if held = append(held, piece); len(held) > 4096 {
			fmt.Println(len(held))
			return
		}
	}
}
