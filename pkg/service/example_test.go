package service_test

import (
	"context"
	"fmt"

	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
)

type greetRequest struct {
	Name string `json:"name"`
}

type greetReply struct {
	Greeting string `json:"greeting"`
}

func ExampleHandle() {
	endpoint := service.Handle("breaker.greeter.greet", func(_ context.Context, req greetRequest) (greetReply, error) {
		return greetReply{Greeting: "Hello, " + req.Name}, nil
	})
	fmt.Println(endpoint.Subject, endpoint.Request, endpoint.Reply)
	// Output: breaker.greeter.greet greet_request greet_reply
}

func ExampleDecodeRequest() {
	_, err := service.DecodeRequest[greetRequest]([]byte(`{"nmae": "Ada"}`))
	fmt.Println(err)
	// Output: unknown_field: nmae is not a field of this request; did you mean name?
}
