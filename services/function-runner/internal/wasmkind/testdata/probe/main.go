// probe does what its first argument says.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	switch mode, rest := os.Args[1], os.Args[2:]; mode {
	case "echo":
		_, _ = io.Copy(os.Stdout, os.Stdin)
	case "print":
		fmt.Print(strings.Join(rest, " "))
	case "env":
		fmt.Printf("%q", os.Getenv(rest[0]))
	case "environ":
		fmt.Printf("%q", strings.Join(os.Environ(), " "))
	case "args":
		fmt.Printf("%q", strings.Join(os.Args, " "))
	case "stderr":
		fmt.Fprint(os.Stderr, strings.Repeat(rest[0], 3000), os.Getenv("TOKEN"), " the end")
	case "exit":
		code, _ := strconv.Atoi(rest[0])
		fmt.Fprint(os.Stderr, "going")
		os.Exit(code)
	case "flood":
		for block := bytes.Repeat([]byte("x"), 64<<10); ; {
			_, _ = os.Stdout.Write(block)
		}
	case "memory":
		for all := [][]byte{}; ; {
			all = append(all, bytes.Repeat([]byte("x"), 1<<20))
			_ = all
		}
	case "sleep":
		time.Sleep(time.Hour)
	case "open":
		if f, err := os.Open("/etc/passwd"); err == nil {
			fmt.Printf("%q", "opened "+f.Name())
		} else if _, err = os.ReadDir("/"); err == nil {
			fmt.Printf("%q", "listed")
		} else if _, err = os.Create("made"); err == nil {
			fmt.Printf("%q", "created")
		} else {
			fmt.Printf("%q", "no files")
		}
	case "dial":
		if _, err := net.DialTimeout("tcp", rest[0], time.Second); err != nil {
			fmt.Printf("%q", "no network")
		}
	case "panic":
		panic("as told")
	}
}
