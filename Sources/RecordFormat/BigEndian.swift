/// Kafka's integers are big-endian and unaligned.
extension UnsafeRawBufferPointer {
    /// The integer at `position`. The caller has checked that it lies inside.
    func bigEndian<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at position: Int) -> T {
        unsafe T(bigEndian: loadUnaligned(fromByteOffset: position, as: T.self))
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Writes `value` at `position`. The caller has checked that it lies inside.
    func storeBigEndian<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at position: Int) {
        unsafe storeBytes(of: value.bigEndian, toByteOffset: position, as: T.self)
    }
}
