package drivertest

import (
	"context"
	"database/sql"
	"log"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/sqlstore"
)

// The workers of a service share what they learn through the service's database.
func Example() {
	ctx := context.Background()
	db, err := sql.Open("pgx", "postgres://service@db.example.com/service")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store := sqlstore.New(db, sqlstore.PostgreSQL)
	if err := store.Create(ctx); err != nil {
		log.Fatal(err)
	}

	password, err := icloud.ParsePassword("abcd-efgh-ijkl-mnop")
	if err != nil {
		log.Fatal(err)
	}
	client, err := icloud.New(icloud.Credential{AppleID: "ada@example.com", Password: password}, &icloud.Options{Store: store})
	if err != nil {
		log.Fatal(err)
	}
	for contact, err := range client.Contacts(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		log.Print(contact.Name)
	}
}
