package drivertest

import (
	"context"
	"database/sql"
	"log"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/sqlstore"
)

// A worker of a service shares what it learns with all others, through the
// database that the service has.
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
