package condition

import (
	"math"
	"math/big"
	"testing"

	"cel.dev/cel-go/common/types"
	"pgregory.net/rapid"
)

func TestNumbersOfFieldsCompareExactly(t *testing.T) {
	t.Parallel()
	l := newTestLanguage(t)
	token := newTestToken(`{"id":9007199254740993,"most":9223372036854775807,"list":[1,9007199254740993],"decimal":9007199254740992.0}`)
	for text, want := range map[string]bool{
		`token.field_equals("data.id", 9007199254740992.0)`:                   false,
		`token.field_equals("data.decimal", 9007199254740993)`:                false,
		`token.field_equals("data.decimal", 9007199254740992)`:                true,
		`token.field_greater_than("data.id", 9007199254740992.0)`:             true,
		`token.field_less_than("data.decimal", 9007199254740993)`:             true,
		`token.field_less_than("data.most", 9223372036854775808.0)`:           true,
		`token.field_equals("data.most", 9223372036854775808.0)`:              false,
		`token.field_in("data.id", [9007199254740992.0])`:                     false,
		`token.field_in("data.id", ["a", 1.5, token.data.list[1]])`:           true,
		`token.field_contains("data.list", 9007199254740992.0)`:               false,
		`token.field_contains("data.list", 1.0)`:                              true,
		`token.field_less_than("data.most", 9223372036854775807.0 * 1e300)`:   true,
		`token.field_equals("data.id", 0.0/0.0)`:                              false,
		`token.field_less_than("data.id", 0.0/0.0)`:                           false,
		`token.field_greater_than("data.most", -9223372036854775808.0 * 4.0)`: true,
	} {
		if got, err := passes(t.Context(), compile(t, l, text), token); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
}

func TestMixedNumbersAreOrderedAsNumbers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MaxInt64, math.MinInt64, 1 << 53, 1<<53 + 1})).Draw(t, "whole")
		decimal := rapid.OneOf(rapid.Float64(), rapid.Just(float64(whole)), rapid.Just(math.Nextafter(float64(whole), 0))).Draw(t, "decimal")
		want := new(big.Rat).SetInt64(whole).Cmp(new(big.Rat).SetFloat64(decimal))
		got, mixed := compareMixed(types.Int(whole), types.Double(decimal))
		turned, _ := compareMixed(types.Double(decimal), types.Int(whole))
		if !mixed || int(got) != want || turned != -got {
			t.Fatalf("%d and %v: got %d and %d, want %d", whole, decimal, got, turned, want)
		}
	})
}
