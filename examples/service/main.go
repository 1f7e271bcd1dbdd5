// Command service runs the example service on a port of this machine; see service.go.
package main

import (
	"context"
	"crypto/rand"
	"log"
	"net/http"

	"github.com/go-icloud/icloud"
)

func main() {
	// Keep the secret with your other secrets: when it changes, all links become invalid.
	secret := []byte(rand.Text() + rand.Text())
	// Return the customer who is signed in instead of "you".
	session := func(*http.Request) (string, error) { return "you", nil }
	s, err := newService("http://127.0.0.1:8080/icloud/", secret, icloud.DirStore("icloud-store"), icloud.Options{}, session)
	if err != nil {
		log.Fatal(err)
	}
	s.mail = func(_ context.Context, customer, text, link string) {
		log.Printf("mail to %s: %s %s", customer, text, link)
	}
	s.add("you")
	go s.work(context.Background())
	http.Handle("/icloud/", s.page)
	http.HandleFunc("GET /status/{id}", s.status)
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", nil))
}
