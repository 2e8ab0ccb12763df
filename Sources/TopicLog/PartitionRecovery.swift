/// What opening a partition found and did.
package struct PartitionRecovery: Equatable, Sendable {
    /// Batches kept.
    package internal(set) var batches = 0
    /// Records kept.
    package internal(set) var records: Int64 = 0
    /// Bytes cut from the log's end, all of them kept in `tornFiles`.
    package internal(set) var tornBytes: Int64 = 0
    /// Paths of the `.torn` files written, oldest data first.
    package internal(set) var tornFiles: [String] = []
    /// Why the log was cut, or nil.
    package internal(set) var tornReason: String?
    /// Bytes checked against their CRC; the rest was hopped over.
    package internal(set) var bytesChecked: Int64 = 0
}
