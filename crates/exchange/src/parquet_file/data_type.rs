//! Which of Arrow's types the values of a Parquet column have.

use arrow_schema::{DECIMAL128_MAX_PRECISION, DataType, IntervalUnit, TimeUnit};
use parquet::basic::{ConvertedType, LogicalType, TimeUnit as ParquetTimeUnit, Type as PhysicalType};
use parquet::schema::types::Type;

/// Longest decimal that Arrow's smaller type holds, in bytes.
const DECIMAL128_LEN: i32 = 16;

/// The type of a column without fields; `hint` is what Arrow's copy of the schema says.
pub(super) fn data_type(of: &Type, hint: Option<&DataType>) -> Result<DataType, String> {
    let Type::PrimitiveType { basic_info, physical_type, type_length, scale, precision } = of else {
        return Err(format!("column `{}` has neither values nor fields", of.name()));
    };
    let converted = basic_info.converted_type();
    if *physical_type == PhysicalType::FIXED_LEN_BYTE_ARRAY && converted == ConvertedType::INTERVAL {
        return Ok(DataType::Interval(IntervalUnit::DayTime));
    }
    let logical =
        basic_info.logical_type_ref().cloned().or_else(|| annotation(converted, *scale, *precision));
    let stored = match physical_type {
        _ if logical == Some(LogicalType::Unknown) => Some(DataType::Null),
        PhysicalType::BOOLEAN => Some(DataType::Boolean),
        PhysicalType::INT32 => int32(logical.as_ref()),
        PhysicalType::INT64 => int64(logical.as_ref()),
        PhysicalType::INT96 => Some(DataType::Timestamp(TimeUnit::Nanosecond, None)),
        PhysicalType::FLOAT => Some(DataType::Float32),
        PhysicalType::DOUBLE => Some(DataType::Float64),
        PhysicalType::BYTE_ARRAY => bytes(logical.as_ref()),
        PhysicalType::FIXED_LEN_BYTE_ARRAY => fixed_bytes(logical.as_ref(), *type_length),
    };
    let stored = stored.ok_or_else(|| {
        format!("column `{}` cannot be {logical:?} ({converted}) and {physical_type}", of.name())
    })?;
    Ok(hint.map_or_else(|| stored.clone(), |hint| hinted(&stored, hint)))
}

/// Arrow has types that Parquet stores as another: what would be read as a number or as bytes may be none.
fn hinted(stored: &DataType, hint: &DataType) -> DataType {
    match (stored, hint) {
        (_, DataType::Dictionary(_, values)) => hinted(stored, values),
        (
            DataType::Int32 | DataType::Int64,
            DataType::Timestamp(..)
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Duration(_)
            | DataType::Date64,
        )
        | (DataType::Date32, DataType::Date64)
        | (DataType::Binary, DataType::LargeBinary | DataType::BinaryView) => hint.clone(),
        (DataType::Timestamp(unit, _), DataType::Timestamp(of, Some(_))) if unit == of => hint.clone(),
        (DataType::Binary, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => DataType::Utf8,
        _ => stored.clone(),
    }
}

/// The older annotations as the newer.
fn annotation(converted: ConvertedType, scale: i32, precision: i32) -> Option<LogicalType> {
    Some(match converted {
        ConvertedType::UTF8 => LogicalType::String,
        ConvertedType::ENUM => LogicalType::Enum,
        ConvertedType::JSON => LogicalType::Json,
        ConvertedType::BSON => LogicalType::Bson,
        ConvertedType::DECIMAL => LogicalType::decimal(scale, precision),
        ConvertedType::DATE => LogicalType::Date,
        ConvertedType::TIME_MILLIS => LogicalType::time(true, ParquetTimeUnit::MILLIS),
        ConvertedType::TIME_MICROS => LogicalType::time(true, ParquetTimeUnit::MICROS),
        ConvertedType::TIMESTAMP_MILLIS => LogicalType::timestamp(true, ParquetTimeUnit::MILLIS),
        ConvertedType::TIMESTAMP_MICROS => LogicalType::timestamp(true, ParquetTimeUnit::MICROS),
        ConvertedType::UINT_8 => LogicalType::integer(8, false),
        ConvertedType::UINT_16 => LogicalType::integer(16, false),
        ConvertedType::UINT_32 => LogicalType::integer(32, false),
        ConvertedType::UINT_64 => LogicalType::integer(64, false),
        ConvertedType::INT_8 => LogicalType::integer(8, true),
        ConvertedType::INT_16 => LogicalType::integer(16, true),
        ConvertedType::INT_32 => LogicalType::integer(32, true),
        ConvertedType::INT_64 => LogicalType::integer(64, true),
        _ => return None,
    })
}

fn int32(logical: Option<&LogicalType>) -> Option<DataType> {
    Some(match logical {
        None => DataType::Int32,
        Some(LogicalType::Integer(of)) => match (of.bit_width, of.is_signed) {
            (8, true) => DataType::Int8,
            (16, true) => DataType::Int16,
            (32, true) => DataType::Int32,
            (8, false) => DataType::UInt8,
            (16, false) => DataType::UInt16,
            (32, false) => DataType::UInt32,
            _ => return None,
        },
        Some(LogicalType::Date) => DataType::Date32,
        Some(LogicalType::Time(of)) if of.unit == ParquetTimeUnit::MILLIS => {
            DataType::Time32(TimeUnit::Millisecond)
        }
        Some(LogicalType::Decimal(of)) => return decimal(of.precision, of.scale, DECIMAL128_LEN),
        Some(_) => return None,
    })
}

fn int64(logical: Option<&LogicalType>) -> Option<DataType> {
    Some(match logical {
        None => DataType::Int64,
        Some(LogicalType::Integer(of)) if of.bit_width == 64 && of.is_signed => DataType::Int64,
        Some(LogicalType::Integer(of)) if of.bit_width == 64 => DataType::UInt64,
        Some(LogicalType::Time(of)) if of.unit != ParquetTimeUnit::MILLIS => {
            DataType::Time64(time_unit(of.unit))
        }
        Some(LogicalType::Timestamp(of)) => {
            DataType::Timestamp(time_unit(of.unit), of.is_adjusted_to_u_t_c.then(|| "UTC".into()))
        }
        Some(LogicalType::Decimal(of)) => return decimal(of.precision, of.scale, DECIMAL128_LEN),
        Some(_) => return None,
    })
}

fn time_unit(unit: ParquetTimeUnit) -> TimeUnit {
    match unit {
        ParquetTimeUnit::MILLIS => TimeUnit::Millisecond,
        ParquetTimeUnit::MICROS => TimeUnit::Microsecond,
        ParquetTimeUnit::NANOS => TimeUnit::Nanosecond,
    }
}

fn bytes(logical: Option<&LogicalType>) -> Option<DataType> {
    match logical {
        Some(LogicalType::String | LogicalType::Json) => Some(DataType::Utf8),
        Some(LogicalType::Decimal(of)) => {
            let is_short = of.precision <= i32::from(DECIMAL128_MAX_PRECISION);
            decimal(of.precision, of.scale, if is_short { DECIMAL128_LEN } else { DECIMAL128_LEN + 1 })
        }
        _ => Some(DataType::Binary),
    }
}

fn fixed_bytes(logical: Option<&LogicalType>, length: i32) -> Option<DataType> {
    match logical {
        Some(LogicalType::Decimal(of)) => decimal(of.precision, of.scale, length),
        Some(LogicalType::Float16) => (length == 2).then_some(DataType::Float16),
        _ => Some(DataType::FixedSizeBinary(length)),
    }
}

/// A decimal of so many digits, stored in so many bytes.
fn decimal(precision: i32, scale: i32, length: i32) -> Option<DataType> {
    let (precision, scale) = (u8::try_from(precision).ok()?, i8::try_from(scale).ok()?);
    Some(if length <= DECIMAL128_LEN {
        DataType::Decimal128(precision, scale)
    } else {
        DataType::Decimal256(precision, scale)
    })
}
