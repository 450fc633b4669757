//! Made, inspected, lost, made again, inspected: nothing differs but what has to.
