// Judges pictures with a detector: inspect DETECTOR PICTURE...

using System;
using System.Globalization;
using System.IO;
using Destseg;

static class Inspect
{
    static int Main(string[] args)
    {
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        if (args.Length < 2)
        {
            Console.Error.WriteLine("usage: inspect DETECTOR PICTURE...");
            return 2;
        }
        var failed = 0;
        try
        {
            using (var detector = new Detector(args[0], Environment.GetEnvironmentVariable("DESTSEG_PRECISION") ?? "auto"))
            {
                for (var i = 1; i < args.Length; i++)
                {
                    try
                    {
                        Judge(detector, args[i]);
                    }
                    catch (Exception e) when (e is DestsegException || e is IOException)
                    {
                        Console.Error.WriteLine("{0}: {1}", args[i], e.Message);
                        failed = 1;
                    }
                }
            }
        }
        catch (DestsegException e)
        {
            Console.Error.WriteLine(e.Message);
            return 1;
        }
        return failed;
    }

    static void Judge(Detector detector, string path)
    {
        string[] verdicts = { "no verdict", "OK", "NG" };
        using (var inspection = detector.InspectEncoded(File.ReadAllBytes(path)))
        {
            var s = inspection.Summary;
            Console.WriteLine("{0}: {1}, score {2:F4}, threshold {3:F4}", path, verdicts[(int)s.Verdict], s.Score, s.Threshold);
            foreach (var r in inspection.Regions)
                Console.WriteLine("  {0} pixels at ({1}, {2}), {3}x{4}, highest {5:F4}", r.Area, r.X, r.Y, r.Width, r.Height, r.PeakValue);
        }
    }
}
