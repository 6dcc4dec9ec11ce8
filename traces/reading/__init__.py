"""What a trace file is, before it is read: kind, columns, formats, faults."""
