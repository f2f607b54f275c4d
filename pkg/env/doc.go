// Package env reads configuration from the environment. Load fills a struct by its env tags
// and reports every fault at once, so that an operator mends a deployment in one go: values
// that don't parse, values that make no sense together (Validate), and BREAKER_ names that
// nobody reads, with the name that was probably meant.
//
// Base is what all services share; a service with settings of its own embeds it:
//
//	type Config struct {
//		env.Base
//		Workers int `env:"BREAKER_WORKERS" envDefault:"4"`
//	}
//
// Values of secrets have the type Secret and are never printed, neither here nor by a
// logger that is handed the whole configuration.
package env
