/// Where record batches lie that travel in a message. The codec neither copies nor looks at them.
///
/// Read, it is the place in the received frame. Written, it is a gap of `count` bytes (``EncodedFrame/gaps``), which
/// the sender fills from a file or from memory.
package struct Records: NullableWireValue, Equatable {
    /// From the start of the frame that was read, behind its length prefix.
    package var offset: Int
    package var count: Int

    package init() { self.init(count: 0) }

    package init(offset: Int = 0, count: Int) {
        self.offset = offset
        self.count = count
    }

    package static func code<C: FieldCoder>(nullable value: inout Records?, _ c: inout C) throws(WireError) {
        try c.records(&value)
    }
}
