import Glibc
import RecordFormat
import Testing

@testable import TopicLog

/// What readers that map segment files are told.
@Suite struct WindowTests {
    let directory = TemporaryDirectory()

    /// Cursor by cursor and bound by bound: what is called written holds whole batches below the bound, and reads as the
    /// file does.
    @Test func whatIsWrittenIsBelowTheBound() throws {
        let size = Batch(valueBytes: 1000).size
        var options = options(segmentBytes: 10 * size)
        options.indexIntervalBytes = size
        let log = try openLog(directory, options)
        for _ in 0..<35 { log.append(valueBytes: 1000) }
        var found = 0
        for bound in 1...35 {
            for start in stride(from: 0, to: bound, by: 10) {
                let cursor = LogCursor(Offset(Int64(start)))
                guard let written = log.written(at: cursor, below: Offset(Int64(bound))) else { continue }
                found += 1
                #expect(written.segment.baseOffset == Offset(Int64(start)) && written.position == 0)
                let batches = Int(written.end) / size
                #expect(Int(written.end) % size == 0 && start + batches <= bound)
                #expect(written.isWhole == (batches == 10))
                #expect(batches == 10 || bound < start + 10 || start == 30)
                let file = try #require(try log.file(of: written.segment))
                let bytes = Array(readFile(file.path)[..<Int(written.end)])
                var mapped = cursor
                let read = unsafe try bytes.withUnsafeBytes {
                    unsafe try log.read(&mapped, below: Offset(Int64(bound)), mapped: $0)
                }
                let next = Offset(Int64(start + batches))
                #expect(
                    read
                        == .batches(
                            byteCount: Int(written.end), firstBase: Offset(Int64(start)), nextOffset: next))
                #expect(mapped.offset == next)
            }
        }
        #expect(found > 45)
        #expect(log.written(at: LogCursor(Offset(5)), below: Offset(35)) == nil, "only a read finds the middle")
        #expect(log.written(at: LogCursor(Offset(35)), below: Offset(35)) == nil)
    }

    /// Bytes that end in the middle of a batch give the batches before it, or say how long it is.
    @Test func aBatchThatIsNotAllThereIsNotGiven() throws {
        let log = try openLog(directory)
        for _ in 0..<3 { log.append(valueBytes: 1000) }
        let size = Batch(valueBytes: 1000).size
        let bytes = readFile(log.segments[0].path)
        func read(_ count: Int) throws -> LogRead {
            var cursor = LogCursor(.zero)
            return unsafe try bytes.withUnsafeBytes {
                unsafe try log.read(&cursor, below: Offset(3), mapped: .init(rebasing: $0[..<count]))
            }
        }
        #expect(try read(2 * size + 500) == .batches(byteCount: 2 * size, firstBase: .zero, nextOffset: Offset(2)))
        #expect(try read(size - 1) == .needs(bytes: size))
    }

    /// A file that was closed for want of descriptors is the same one again while a window holds it.
    @Test func aPinnedFileIsNotOpenedTwice() throws {
        let log = try openLog(directory)
        log.append()
        let file = try #require(try log.file(of: SegmentID(baseOffset: .zero, generation: 0)))
        let pin = FilePin(file, upTo: 10)
        log.segments[0].closeFile()
        #expect(try log.segments[0].open() === pin.file)
    }
}
