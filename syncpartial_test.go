package icloud_test

import (
	"errors"

	"github.com/go-icloud/icloud"
)

// partialIDs returns the IDs that a *PartialError names.
func partialIDs(err error) (ids []string, ok bool) {
	partial, ok := errors.AsType[*icloud.PartialError](err)
	if !ok {
		return nil, false
	}
	for _, card := range partial.Cards {
		ids = append(ids, card.ID)
	}
	return ids, true
}
