// A slow line to a fast server: every byte takes half a round trip, and waits until the
// bytes before it have passed.

package main

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A line is a proxy for TCP. It has no slow start and loses nothing. So a client that opens
// many connections or waits for many answers looks better than on a real line.
type line struct {
	roundTrip time.Duration
	bits      int // a second, each way
	target    string
	listener  net.Listener

	opened      atomic.Int64 // connections
	connections sync.WaitGroup
	up, down    lane
}

// newLine opens a line to target.
func newLine(target string, roundTrip time.Duration, bits int) (*line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &line{roundTrip: roundTrip, bits: bits, target: target, listener: listener}
	l.connections.Go(l.accept)
	return l, nil
}

func (l *line) addr() string { return l.listener.Addr().String() }

// close accepts no more connections, and waits until the others have ended.
func (l *line) close() {
	_ = l.listener.Close()
	l.connections.Wait()
}

func (l *line) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.opened.Add(1)
		l.connections.Go(func() { l.carry(conn) })
	}
}

// carry serves one connection.
func (l *line) carry(near net.Conn) {
	defer near.Close()
	// The handshake of TCP takes a round trip, which the loopback has done at
	// once.
	time.Sleep(l.roundTrip)
	far, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer far.Close()
	var both sync.WaitGroup
	both.Go(func() { l.copy(far, near, &l.up) })
	both.Go(func() { l.copy(near, far, &l.down) })
	both.Wait()
}

// A packet is data on the line, with the time of its arrival.
type packet struct {
	data []byte
	due  time.Time
}

// copy carries bytes one way until either side ends.
func (l *line) copy(to, from net.Conn, way *lane) {
	// Enough for the packets that are under way at once. More would let the line
	// buffer an answer.
	packets := make(chan packet, 1+l.bits/8/packetSize/4)
	go func() {
		defer close(packets)
		for {
			buf := make([]byte, packetSize)
			n, err := from.Read(buf)
			if n > 0 {
				sent := way.pass(time.Now(), time.Duration(n)*8*time.Second/time.Duration(l.bits))
				packets <- packet{buf[:n], sent.Add(l.roundTrip / 2)}
			}
			if err != nil {
				return
			}
		}
	}()
	var failed error
	for p := range packets { // to the end, because otherwise the other goroutine would wait for ever
		if failed != nil {
			continue
		}
		time.Sleep(time.Until(p.due))
		if _, failed = to.Write(p.data); failed != nil {
			_ = from.Close()
		}
	}
	if c, ok := to.(*net.TCPConn); ok {
		_ = c.CloseWrite() // the other direction may still have data
	}
}

// packetSize is small, so that the data is spread over time.
const packetSize = 1400

// A lane is one direction of the line, which all connections share.
type lane struct {
	mu   sync.Mutex
	free time.Time
}

// pass returns when data that comes now and takes so long has passed.
func (l *lane) pass(now time.Time, long time.Duration) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(long)
	return l.free
}

// A pacedConn reads no more than so many bits a second. It is for a fast line, for which the
// packets of a line would be too many.
type pacedConn struct {
	net.Conn
	bits int
	lane lane
}

// late is how much time a pacedConn may catch up on. Otherwise each sleep that is a little too
// long would make the line slower.
const late = 2 * time.Millisecond

// Read implements net.Conn.
func (c *pacedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	due := c.lane.pass(time.Now().Add(-late), time.Duration(n)*8*time.Second/time.Duration(c.bits))
	time.Sleep(time.Until(due))
	return n, err
}
