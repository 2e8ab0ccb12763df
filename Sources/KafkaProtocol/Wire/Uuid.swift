/// A topic's id, or another one of 128 bits. Zero is none.
package struct Uuid: Hashable, WireValue {
    package var high: UInt64
    package var low: UInt64

    package init() { self.init(high: 0, low: 0) }

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package mutating func code<C: FieldCoder>(_ c: inout C) throws(WireError) {
        try c.integer(&high)
        try c.integer(&low)
    }
}
