package certify

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Points are hundredths of a point: sums of 0.1 and 0.15 stay exact.
type Points int

// PointsOf reads a number of points. One that is finer than a hundredth, negative
// or beyond any score is an error.
func PointsOf(x float64) (Points, error) {
	p := math.Round(x * 100)
	if math.IsNaN(x) || p < 0 || p > 1e6 || math.Abs(x*100-p) > 1e-6 {
		return 0, fmt.Errorf("%v is no number of points in hundredths", x)
	}
	return Points(p), nil
}

// Float gives the points as a number: 8.1.
func (p Points) Float() float64 { return float64(p) / 100 }

// String writes the points with one decimal, or two where they are needed: 8.0, 8.15.
func (p Points) String() string {
	return strings.TrimSuffix(strconv.FormatFloat(p.Float(), 'f', 2, 64), "0")
}

// MarshalJSON writes the points as a number.
func (p Points) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, p.Float(), 'f', -1, 64), nil
}
