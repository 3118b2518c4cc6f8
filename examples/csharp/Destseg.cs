// Finds defects in pictures with detectors that destseg has trained, through libdestseg.

using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Destseg
{
    public enum Status { Ok, BadArgument, BadHandle, BadFile, BadDetector, BadPicture, Unsupported, Internal }

    /// <summary>How pixels lie in memory: a byte for each channel, rows from the top.</summary>
    public enum PixelFormat { Rgb = 1, Bgr = 2, Gray = 3, Rgba = 4 }

    public enum Verdict { None, Good, NotGood }

    public sealed class DestsegException : Exception
    {
        public Status Status { get; }

        internal DestsegException(Native.Error error) : base(Native.Text(error.Message))
        {
            Status = (Status)error.Status;
        }
    }

    /// <summary>A connected area of the map above the pixel threshold, in pixels of the picture.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Region
    {
        public double Mean;
        public long Area;
        public int X, Y, Width, Height;
        public int PeakX, PeakY;
        public float PeakValue;
        public int Rings;
    }

    /// <summary>What a detector says about a picture. The score decides alone.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Summary
    {
        public double Score, DestScore;
        public double Threshold; // 0 if there is none
        public double Milliseconds;
        public Verdict Verdict;
        public int Width, Height;
        public int PeakX, PeakY;
        public float PeakValue;
    }

    /// <summary>An open detector. Threads may share it; its inspections wait for each other.</summary>
    public sealed class Detector : IDisposable
    {
        readonly DetectorHandle handle;

        /// <param name="precision">auto, or as destseg predict --precision</param>
        /// <param name="threads">0: one for each processor</param>
        /// <param name="threshold">null: the detector's</param>
        /// <param name="pixelThreshold">null: the detector's</param>
        public Detector(string path, string precision = "auto", int threads = 0, double? threshold = null, double? pixelThreshold = null)
        {
            if (Native.destseg_abi_version() != Native.AbiVersion)
                throw new DllNotFoundException("libdestseg has another ABI version than " + Native.AbiVersion);
            var options = new Native.Options
            {
                StructSize = (UIntPtr)Marshal.SizeOf(typeof(Native.Options)),
                Precision = Marshal.StringToHGlobalAnsi(precision),
                Threads = threads,
                UseImageThreshold = threshold.HasValue ? 1 : 0,
                ImageThreshold = threshold.GetValueOrDefault(),
                UsePixelThreshold = pixelThreshold.HasValue ? 1 : 0,
                PixelThreshold = pixelThreshold.GetValueOrDefault(),
            };
            try
            {
                Native.Check(Native.destseg_open(Encoding.UTF8.GetBytes(path + "\0"), ref options, out handle, out var error), error);
            }
            finally
            {
                Marshal.FreeHGlobal(options.Precision);
            }
        }

        /// <summary>Inspects pixels; the stride is in bytes, 0 for rows without gaps.</summary>
        public Inspection Inspect(byte[] pixels, int width, int height, PixelFormat format, int stride = 0)
        {
            Native.Check(Native.destseg_inspect(handle, pixels, (UIntPtr)pixels.Length, width, height, (UIntPtr)stride, (int)format,
                out var result, out var error), error);
            return new Inspection(result);
        }

        /// <summary>Inspects the bytes of a PNG, JPEG, BMP, TIFF or WebP file.</summary>
        public Inspection InspectEncoded(byte[] file)
        {
            Native.Check(Native.destseg_inspect_encoded(handle, file, (UIntPtr)file.Length, out var result, out var error), error);
            return new Inspection(result);
        }

        /// <summary>Tells engine, precision and the detector's record in JSON.</summary>
        public string Info()
        {
            Native.Check(Native.destseg_info(handle, null, UIntPtr.Zero, out var length, out var error), error);
            var text = new byte[(int)length + 1];
            Native.Check(Native.destseg_info(handle, text, (UIntPtr)text.Length, out length, out error), error);
            return Native.Text(text);
        }

        public void Dispose()
        {
            handle.Dispose();
        }
    }

    public sealed class Inspection : IDisposable
    {
        readonly ResultHandle handle;

        internal Inspection(ResultHandle handle)
        {
            this.handle = handle;
        }

        public Summary Summary
        {
            get
            {
                Native.Check(Native.destseg_result_summary(handle, out var summary, out var error), error);
                return summary;
            }
        }

        /// <summary>The regions, the highest first. They tell where; the score decides.</summary>
        public IReadOnlyList<Region> Regions
        {
            get
            {
                Native.Check(Native.destseg_result_region_count(handle, out var count, out var error), error);
                var regions = new Region[(int)count];
                for (var i = 0; i < regions.Length; i++)
                    Native.Check(Native.destseg_result_region(handle, (UIntPtr)i, out regions[i], out error), error);
                return regions;
            }
        }

        /// <summary>A ring of a region's polygon, x and y in turn: ring 0 is the border, the others are holes.</summary>
        public double[] Ring(int region, int ring)
        {
            Native.Check(Native.destseg_result_ring(handle, (UIntPtr)region, (UIntPtr)ring, null, UIntPtr.Zero, out var count, out var error), error);
            var points = new double[2 * (int)count];
            Native.Check(Native.destseg_result_ring(handle, (UIntPtr)region, (UIntPtr)ring, points, count, out count, out error), error);
            return points;
        }

        /// <summary>The anomaly map at any size: values from 0 to 1, rows from the top.</summary>
        public float[] Map(int width, int height, bool dest = false)
        {
            var values = new float[checked(width * height)];
            Native.Check(Native.destseg_result_map(handle, dest ? 1 : 0, width, height, values, (UIntPtr)values.Length, out var error), error);
            return values;
        }

        /// <summary>A mask of the picture's size, 255 in the regions.</summary>
        public byte[] Mask()
        {
            var summary = Summary;
            var mask = new byte[summary.Width * summary.Height];
            Native.Check(Native.destseg_result_mask(handle, mask, (UIntPtr)mask.Length, out var error), error);
            return mask;
        }

        public void Dispose()
        {
            handle.Dispose();
        }
    }

    sealed class DetectorHandle : SafeHandleZeroOrMinusOneIsInvalid
    {
        DetectorHandle() : base(true) { }

        protected override bool ReleaseHandle()
        {
            return Native.destseg_close(handle, IntPtr.Zero) == 0;
        }
    }

    sealed class ResultHandle : SafeHandleZeroOrMinusOneIsInvalid
    {
        ResultHandle() : base(true) { }

        protected override bool ReleaseHandle()
        {
            return Native.destseg_result_free(handle, IntPtr.Zero) == 0;
        }
    }

    static class Native
    {
        public const uint AbiVersion = 1;
        const string Library = "destseg";

        [StructLayout(LayoutKind.Sequential)]
        public struct Error
        {
            public int Status;
            [MarshalAs(UnmanagedType.ByValArray, SizeConst = 1020)] public byte[] Message;
        }

        [StructLayout(LayoutKind.Sequential)]
        public struct Options
        {
            public UIntPtr StructSize;
            public IntPtr Engine, Precision;
            public double ImageThreshold, PixelThreshold;
            public int UseImageThreshold, UsePixelThreshold, Threads, Reserved;
        }

        public static void Check(int status, Error error)
        {
            if (status != 0)
                throw new DestsegException(error);
        }

        /// <summary>Reads UTF-8 up to its 0.</summary>
        public static string Text(byte[] bytes)
        {
            return Encoding.UTF8.GetString(bytes, 0, Array.IndexOf(bytes, (byte)0));
        }

        const CallingConvention C = CallingConvention.Cdecl;

        [DllImport(Library, CallingConvention = C)] public static extern uint destseg_abi_version();
        [DllImport(Library, CallingConvention = C)] public static extern int destseg_open(byte[] path, ref Options options, out DetectorHandle detector, out Error error);
        [DllImport(Library, CallingConvention = C)] public static extern int destseg_close(IntPtr detector, IntPtr error);
        [DllImport(Library, CallingConvention = C)] public static extern int destseg_info(DetectorHandle detector, [Out] byte[] json, UIntPtr capacity, out UIntPtr length, out Error error);
        [DllImport(Library, CallingConvention = C)] public static extern int destseg_inspect(DetectorHandle detector, byte[] pixels, UIntPtr size, int width, int height, UIntPtr stride, int format, out ResultHandle result, out Error error);
        [DllImport(Library, CallingConvention = C)] public static extern int destseg_inspect_encoded(DetectorHandle detector, byte[] bytes, UIntPtr size, out ResultHandle result, out Error error);
        [DllImport(Library, CallingConvention = C)] public static extern int destseg_result_free(IntPtr result, IntPtr error);
        [DllImport(Library, CallingConvention = C)] public static extern int destseg_result_summary(ResultHandle result, out Summary summary, out Error error);
        [DllImport(Library, CallingConvention = C)] public static extern int destseg_result_map(ResultHandle result, int map, int width, int height, [Out] float[] values, UIntPtr count, out Error error);
        [DllImport(Library, CallingConvention = C)] public static extern int destseg_result_region_count(ResultHandle result, out UIntPtr count, out Error error);
        [DllImport(Library, CallingConvention = C)] public static extern int destseg_result_region(ResultHandle result, UIntPtr index, out Region region, out Error error);
        [DllImport(Library, CallingConvention = C)] public static extern int destseg_result_ring(ResultHandle result, UIntPtr index, UIntPtr ring, [Out] double[] points, UIntPtr capacity, out UIntPtr count, out Error error);
        [DllImport(Library, CallingConvention = C)] public static extern int destseg_result_mask(ResultHandle result, [Out] byte[] mask, UIntPtr size, out Error error);
    }
}
