internal import Glibc
internal import RecordFormat

/// The accepted batches that go to one segment in one write. Reused, so that appending does not allocate.
@safe  // The vectors point into memory that the caller of `add`, an unsafe call, keeps until the run is written.
struct AppendRun {
    /// Headers as they will be stored: with their base offset and epoch.
    private(set) var headers: ContiguousArray<RecordBatchHeader> = []
    private var vectors: ContiguousArray<iovec> = unsafe []
    private(set) var byteCount = 0

    var isEmpty: Bool { headers.isEmpty }

    /// Takes a batch; its memory must stay until the run is written.
    mutating func add(_ header: RecordBatchHeader, _ bytes: UnsafeMutableRawBufferPointer) {
        headers.append(header)
        unsafe vectors.append(iovec(iov_base: bytes.baseAddress, iov_len: bytes.count))
        byteCount += bytes.count
    }

    mutating func removeAll() {
        headers.removeAll(keepingCapacity: true)
        unsafe vectors.removeAll(keepingCapacity: true)
        byteCount = 0
    }

    /// Writes the vectors at `position`, going on after interruptions and short writes.
    /// - Returns: 0, or the errno after which an unknown part was written.
    mutating func write(to file: LogFile, at position: Int64, calls: inout Int) -> Int32 {
        var place = position
        let bytes = byteCount
        return unsafe vectors.withUnsafeMutableBufferPointer { vectors in
            var first = 0
            var done = 0
            while done < bytes {
                // 1024 is the kernel's IOV_MAX.
                let count = min(vectors.count - first, 1024)
                let some = unsafe UnsafeBufferPointer(rebasing: vectors[first..<(first + count)])
                calls += 1
                let written = unsafe file.storage.write(file.descriptor, some, at: place)
                if written == -Int(EINTR) { continue }
                // A write of nothing would go on for ever; a full disk is the only thing that explains it.
                if written <= 0 { return written == 0 ? ENOSPC : Int32(-written) }
                done += written
                place += Int64(written)
                unsafe Self.skip(written, in: vectors, from: &first)
            }
            return 0
        }
    }

    /// Moves past `count` written bytes.
    private static func skip(_ count: Int, in vectors: UnsafeMutableBufferPointer<iovec>, from first: inout Int) {
        var left = count
        while left > 0 {
            let length = unsafe vectors[first].iov_len
            if left < length {
                unsafe vectors[first].iov_base += left
                unsafe vectors[first].iov_len -= left
                return
            }
            left -= length
            first += 1
        }
    }
}
