//go:build !race

package icloud_test

const raceEnabled = false
