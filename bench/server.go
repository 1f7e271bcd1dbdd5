// The server of all comparisons. It has a process of its own, so that the figures of the
// other processes are those of the clients alone.

package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-icloud/icloud"
	"github.com/go-icloud/icloud/icloudtest"
)

// access is how to reach a server.
type access struct {
	Addr     string // on the loopback
	CA       string // the certificate that signs its own, in PEM
	AppleID  string
	Password string
	Bits     int // how many may arrive in a second; 0: as many as can
}

func (a access) url() string { return "https://" + a.Addr }

func (a access) credential() icloud.Credential {
	return icloud.Credential{AppleID: a.AppleID, Password: icloud.UncheckedPassword(a.Password)}
}

// stats are what a server has counted since it was last asked.
type stats struct {
	Requests    int64
	Connections int64 // each is one TLS handshake
	Bytes       int64 // of bodies, as they went over the wire
}

// A server is a server in another process. It gets commands as lines on its standard input,
// and answers each with a line of JSON.
type server struct {
	access
	book book

	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// start starts a server of a book, and waits until it is ready. A server has one book, so
// that only one is in memory.
func start(b book) (*server, error) {
	cmd, err := again("serve", b)
	if err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, in: in, out: bufio.NewScanner(out), book: b}
	if err := s.answer(&s.access); err != nil {
		s.stop()
		return nil, fmt.Errorf("server: %w", err)
	}
	return s, nil
}

// stop ends the server and waits for it.
func (s *server) stop() {
	_ = s.in.Close() // the server ends then
	_ = s.cmd.Wait()
}

// answer reads the next line that the server writes.
func (s *server) answer(v any) error {
	if !s.out.Scan() {
		return io.ErrUnexpectedEOF
	}
	return json.Unmarshal(s.out.Bytes(), v)
}

// stats returns what was counted since the last call.
func (s *server) stats() (st stats, err error) {
	if _, err = fmt.Fprintln(s.in, "stats"); err != nil {
		return st, err
	}
	return st, s.answer(&st)
}

// change replaces n cards, spread over the whole book, by cards without a photo. It resets
// the counts.
func (s *server) change(n int) error {
	if _, err := fmt.Fprintln(s.in, "change", n); err != nil {
		return err
	}
	var st stats
	return s.answer(&st)
}

// serve is the server's process. It ends when its standard input does, so that it
// does not outlive a comparison that was broken off.
func serve(b book) error {
	fake := icloudtest.NewServer()
	defer fake.Close()
	fake.OmitOwnRow = true // or go-webdav loses the list
	b.each(fake.Put)
	cred := fake.Issue()
	h := &recorder{server: fake, cred: cred, answers: make(map[[sha256.Size]byte]*httptest.ResponseRecorder)}

	certificate, ca, err := selfSigned()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{
		Handler:   h,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
		ErrorLog:  log.New(io.Discard, "", 0), // it would only say that clients have gone
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				h.connections.Add(1)
			}
		},
	}
	go func() { _ = web.ServeTLS(listener, "", "") }() // it ends with the process
	defer web.Close()

	out := json.NewEncoder(os.Stdout)
	here := access{Addr: listener.Addr().String(), CA: ca, AppleID: cred.AppleID, Password: cred.Password.Reveal()}
	if err := out.Encode(here); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var n int
		if _, err := fmt.Sscanf(in.Text(), "change %d", &n); err == nil {
			for i := range n {
				at := i * b.Cards / n
				fake.Put(cardID(at), card(at, "TITLE:Changed\n"))
			}
			h.forget()
		}
		st := stats{h.requests.Swap(0), h.connections.Swap(0), h.bytes.Swap(0)}
		if err := out.Encode(st); err != nil {
			return err
		}
	}
	return nil
}

// A recorder keeps each answer and sends it again, because rendering an answer takes longer
// than the slower clients need to read it.
type recorder struct {
	server *icloudtest.Server
	cred   icloud.Credential

	requests, connections, bytes atomic.Int64

	mu      sync.Mutex
	answers map[[sha256.Size]byte]*httptest.ResponseRecorder // by request
}

// forget is called when the book has changed.
func (h *recorder) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.answers)
}

func (h *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.requests.Add(1)
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	// All accounts have the same book, so that there need not be a thousand books.
	if _, _, ok := r.BasicAuth(); ok {
		r.SetBasicAuth(h.cred.AppleID, h.cred.Password.Reveal())
	}
	// Programs write this header in many ways, but there are only two answers.
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		r.Header.Del("Accept-Encoding")
	}
	// Everything on which icloudtest's answer depends. The host is part of it, because
	// the home-set depends on it.
	key := sha256.New()
	fmt.Fprintln(key, r.Method, r.Host, r.URL, r.Header.Get("Authorization"), r.Header.Get("Accept-Encoding") != "", r.Header.Get("Depth"))
	key.Write(asked)
	sum := [sha256.Size]byte(key.Sum(nil))

	h.mu.Lock()
	answer := h.answers[sum]
	h.mu.Unlock()
	if answer == nil {
		r.Body = io.NopCloser(bytes.NewReader(asked))
		answer = httptest.NewRecorder()
		h.server.ServeHTTP(answer, r)
		h.mu.Lock()
		h.answers[sum] = answer
		h.mu.Unlock()
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	n, _ := w.Write(answer.Body.Bytes()) // fails when a client has gone
	h.bytes.Add(int64(n))
}

// selfSigned returns a certificate for the loopback and for iCloud's names. ca is the same
// certificate as PEM, for the clients.
func selfSigned() (tls.Certificate, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		DNSNames:              []string{"localhost", "*.icloud.com"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(ca), nil
}
