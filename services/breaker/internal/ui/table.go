package ui

import (
	"strings"

	"github.com/rivo/uniseg"
)

// Cell is one field of a table. Text may come from anywhere: the table cleans it.
type Cell struct {
	Text  string
	Style Style
	// Right aligns to the right, for numbers.
	Right bool
}

// Table collects rows and writes them in columns.
type Table struct {
	head []string
	rows [][]Cell
}

// NewTable starts a table with these headings; one without headings has no head line.
func NewTable(head ...string) *Table { return &Table{head: head} }

// Row adds a line. A field is a Cell or a string.
func (t *Table) Row(fields ...any) {
	row := make([]Cell, len(fields))
	for i, field := range fields {
		switch v := field.(type) {
		case Cell:
			row[i] = v
		case string:
			row[i] = Cell{Text: v}
		}
		row[i].Text = Clean(row[i].Text)
	}
	t.rows = append(t.rows, row)
}

const columnGap = "  "

// Table writes the table to Out; empty says what to write where there are no rows.
func (c *Console) Table(t *Table, empty string) {
	if len(t.rows) == 0 {
		c.Printf("%s\n", c.Paint(Dim, empty))
		return
	}
	var widths []int
	grow := func(i, width int) {
		for len(widths) <= i {
			widths = append(widths, 0)
		}
		widths[i] = max(widths[i], width)
	}
	for i, h := range t.head {
		grow(i, uniseg.StringWidth(h))
	}
	right := make(map[int]bool)
	for _, row := range t.rows {
		for i, cell := range row {
			grow(i, uniseg.StringWidth(cell.Text))
			right[i] = right[i] || cell.Right
		}
	}
	var b strings.Builder
	if len(t.head) > 0 {
		head := make([]Cell, len(t.head))
		for i, h := range t.head {
			head[i] = Cell{Text: h, Style: Bold, Right: right[i]}
		}
		c.line(&b, head, widths)
	}
	for _, row := range t.rows {
		c.line(&b, row, widths)
	}
	c.Printf("%s", b.String())
}

// line writes one row, without spaces at its end.
func (c *Console) line(out *strings.Builder, row []Cell, widths []int) {
	var b strings.Builder
	for i, cell := range row {
		if i > 0 {
			b.WriteString(columnGap)
		}
		pad := strings.Repeat(" ", widths[i]-uniseg.StringWidth(cell.Text))
		if cell.Right {
			b.WriteString(pad)
		}
		b.WriteString(c.Paint(cell.Style, cell.Text))
		if !cell.Right && i < len(row)-1 {
			b.WriteString(pad)
		}
	}
	out.WriteString(strings.TrimRight(b.String(), " ") + "\n")
}
