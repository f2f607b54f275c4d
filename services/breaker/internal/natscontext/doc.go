// Package natscontext finds out which NATS server to speak to and as whom, from flags, the
// environment and the contexts that the nats command line keeps, in its format and its
// places: $XDG_CONFIG_HOME/nats/context/NAME.json, the selected one named in
// $XDG_CONFIG_HOME/nats/context.txt (~/.config where that is not set).
//
// A flag wins over the environment, the environment over the context. Credentials given
// by flag or environment replace those of the context as a whole, so that two halves of
// different identities never mix.
package natscontext
