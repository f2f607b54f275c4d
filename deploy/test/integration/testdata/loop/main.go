// Command loop never ends.
package main

func main() {
	for {
	}
}
