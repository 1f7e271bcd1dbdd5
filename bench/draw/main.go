// Draw draws the chart of a comparison: time and memory of a listing by the size
// of the book. It is a separate program because a plotting library and its fonts take as
// much memory as what is measured.
//
// It reads results.json, as bench writes it, and writes results.svg.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A result is the figure of a listing: the fields of bench's result that are drawn.
type result struct {
	Cards  int
	Kind   string
	Client string
	Gzip   bool
	Wall   time.Duration
	Peak   int64 // bytes
}

// A series is a client's line, in the order of the legend. People who do not see all colors
// can distinguish these colors too.
type series struct {
	client string
	color  color.Color
	gzip   bool // it was only measured with gzip, which makes little difference for it
}

var all = []series{
	{"go-webdav", color.RGBA{0xd5, 0x5e, 0x00, 0xff}, false},
	{"vdirsyncer", color.RGBA{0xcc, 0x79, 0xa7, 0xff}, true},
	{"tsdav", color.RGBA{0x00, 0x9e, 0x73, 0xff}, true},
	{"icloud", color.RGBA{0x00, 0x72, 0xb2, 0xff}, false},
	{"io.Discard", color.RGBA{0x80, 0x80, 0x80, 0xff}, false},
}

func main() {
	dir := flag.String("dir", ".", "the `directory` of results.json and results.svg")
	flag.Parse()
	text, err := os.ReadFile(filepath.Join(*dir, "results.json"))
	var results []result
	if err == nil {
		err = json.Unmarshal(text, &results)
	}
	if err == nil {
		err = drawChart(filepath.Join(*dir, "results.svg"), results)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "draw:", err)
		os.Exit(1)
	}
}

// drawChart writes the chart to a file.
func drawChart(file string, results []result) error {
	seconds, err := panel("Listing a book with photos, seconds", results, func(r result) float64 { return r.Wall.Seconds() })
	if err != nil {
		return err
	}
	memory, err := panel("Peak memory, MiB", results, func(r result) float64 { return float64(r.Peak) / (1 << 20) })
	if err != nil {
		return err
	}
	memory.Legend = plot.NewLegend() // one legend is enough

	const width, height = 22 * vg.Centimeter, 9 * vg.Centimeter
	canvas := vgsvg.NewWith(vgsvg.UseWH(width, height), vgsvg.EmbedFonts(false))
	area := draw.New(canvas)
	white := plot.New()
	white.HideAxes()
	white.Draw(area) // a background that is readable on a dark page too
	tiles := draw.Tiles{Rows: 1, Cols: 2, PadX: vg.Centimeter, PadTop: vg.Millimeter * 3, PadBottom: vg.Millimeter * 2, PadLeft: vg.Millimeter * 3, PadRight: vg.Millimeter * 5}
	grid := plot.Align([][]*plot.Plot{{seconds, memory}}, tiles, area)
	seconds.Draw(grid[0][0])
	memory.Draw(grid[0][1])

	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(out); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

// panel is one half of the chart. Both axes are logarithmic.
func panel(title string, results []result, y func(result) float64) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Millimeter * 3
	p.X.Label.Text = "cards"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.Y.Tick.Marker = decades{}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.XOffs, p.Legend.YOffs = vg.Millimeter*2, -vg.Millimeter*3 // off the grid's first lines
	p.Legend.TextStyle.Font.Size = font.Length(9)
	p.Add(plotter.NewGrid())
	var cards []int
	for _, line := range all {
		var points plotter.XYs
		for _, r := range results {
			if r.Client == line.client && r.Kind == "photos" && r.Gzip == line.gzip && y(r) > 0 {
				points = append(points, plotter.XY{X: float64(r.Cards), Y: y(r)})
				cards = append(cards, r.Cards)
			}
		}
		if len(points) == 0 {
			continue
		}
		drawn, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		drawn.Color, dots.Color = line.color, line.color
		drawn.Width = vg.Points(2)
		dots.Shape, dots.Radius = draw.CircleGlyph{}, vg.Points(3)
		p.Add(drawn, dots)
		p.Legend.Add(line.client, drawn, dots)
	}
	if len(cards) == 0 {
		return nil, errors.New("nothing to draw")
	}
	slices.Sort(cards)
	p.X.Tick.Marker = sizes(slices.Compact(cards))
	// Whole decades, so that the lines are not cut off by the legend either.
	p.Y.Min, p.Y.Max = math.Pow(10, math.Floor(math.Log10(p.Y.Min))), math.Pow(10, math.Ceil(math.Log10(p.Y.Max)))
	return p, nil
}

// sizes are ticks at the books' sizes.
type sizes []int

func (s sizes) Ticks(least, most float64) (ticks []plot.Tick) {
	for _, n := range s {
		if x := float64(n); x >= least && x <= most {
			ticks = append(ticks, plot.Tick{Value: x, Label: fmt.Sprint(n)})
		}
	}
	return ticks
}

// decades are ticks at powers of ten.
type decades struct{}

func (decades) Ticks(least, most float64) (ticks []plot.Tick) {
	for e := math.Floor(math.Log10(least)); e <= math.Ceil(math.Log10(most)); e++ {
		v := math.Pow(10, e)
		if v >= least*0.999 && v <= most*1.001 {
			ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
		}
	}
	return ticks
}
