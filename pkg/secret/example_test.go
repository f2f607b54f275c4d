package secret_test

import (
	"fmt"

	"github.com/seed-42b4788c/circuit-breaker/pkg/secret"
)

func Example() {
	secrets := secret.New([]string{"BREAKER_SECRET_API_KEY=hunter2"}, "")
	key, err := secrets.Resolve("secret:API_KEY")
	if err != nil {
		panic(err)
	}
	answer := "401: the key " + key + " is no good"
	fmt.Println(secrets.Redact(answer))
	// Output: 401: the key [secret:API_KEY] is no good
}
